"""The command `pconv`: inpaint, evaluate, train, masks, export."""
