"""The race in a browser: one page on loopback, what it is told, and the small server that tells it.

    stage     what is shown and who looks on: the board, the seats of the viewers, the wish to start
    state     the board as plain data for the page: all of it, or what is new to one viewer
    server    the routes, and what they refuse
    serving   the server as a context manager, beside whatever else the program does

The page itself is page.html, page.css, page.js and icon.svg in this folder: served as they are, nothing is built.
"""
