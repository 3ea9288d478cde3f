"""The enrich stage where the feed's artwork ids are text.

A day's vectors are kept by number: that of an id is its place among the ids that the day uses, in their order. Means
and partitions are made of numbers then, by the very code that takes whole-number ids as they are. What differs is here,
apart from that code, which is in keys.
"""
