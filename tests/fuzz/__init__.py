"""Files changed at random, and what reading makes of them: `python -m tests.fuzz --minutes 60`.

Each is given to `core.imaging.reader_process.read_one`, which is what a person's file meets. It must be read, the same
twice, with finite voxels that the file holds, or refused with a sentence. Anything else is a fault: another error, a
process that ends, a minute without an answer, voxels that differ from one reading to the next (memory that nobody
wrote: freed memory is filled with another byte before each).
"""
