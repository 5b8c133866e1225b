"""Compiled kernels: CasADi expressions become numba functions over lanes, cached on disk.

A kernel module is text: generated functions (`generated` documents their contracts) followed by one or more of the
templates beside this file, in which sizes and functions stand as if imported. See `compiler`.
"""
