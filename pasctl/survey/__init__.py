"""A person answers an inventory: which item is next, what is kept, and what it says about the person."""
