"""What a profile can grant: an object for each capability, with its tool and what scenarios are given."""
