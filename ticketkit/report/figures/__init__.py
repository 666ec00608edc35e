"""The pictures of a report, drawn by matplotlib: each a function that takes values and gives a ``Figure``.

matplotlib is an extra (``pip install 'ticketkit[plots]'``), so nothing imports these modules before pictures are asked
for; ``pictures.draw_pictures`` draws them all.
"""
