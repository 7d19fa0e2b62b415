"""Terms with heads of their own. None yet: FastGAN and GLeaD bring theirs."""
