"""Measurements that the bars of the design are held against. Run by hand."""
