"""What the page says about each kind of artifact."""
