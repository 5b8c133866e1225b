"""Compiled loops of blocks on a ring: messages along chains, and messages over states."""
