"""The operator's console and the merchant's portal: one set of server-rendered pages, seen from two sides.

No script runs in them: forms are plain, a long job has a page with its progress, and charts are drawn on the server.
"""
