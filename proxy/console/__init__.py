"""The operator's console and the merchant's portal: one set of server-rendered pages, seen from two sides.

No script runs in them: forms are plain, what takes long has a page that tells how far it is, and charts are drawn here.
"""
