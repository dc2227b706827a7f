"""Images of one's own: folders of classes, and the shards of the hub; found, decoded once, and kept as bytes."""
