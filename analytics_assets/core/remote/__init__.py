"""The lake in a bucket: the folder of each worker is a working copy, the bucket is the truth (docs/growing.md)."""
