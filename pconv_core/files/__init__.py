"""Files as people have them: pictures, folders, checkpoints, weights, other people's weights."""
