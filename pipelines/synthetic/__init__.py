"""Small raw trees in the exact layouts of the collections, so that anyone can run everything.

In: a number of studies, a seed and, if wanted, real pictures and reports. Out: folders that a
reader of the collection cannot tell from a download, and beside each one a truth file that says
what was put into it. Nobody in them exists: ids are made up and pictures are drawn.
"""
