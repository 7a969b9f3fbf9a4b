"""The report as one page for a browser: everything in one file, nothing fetched.

Charts are SVG that is written here, with a few lines of script beside it, and not by a charting
library. A page of 200 cells has to stay below 3 MB (plotly.js alone has 4.6 MB, Vega with Vega-Lite
about 0.8 MB), to be readable without script and on paper, and to let a keyboard and a screen reader
reach every point: those libraries draw when a script runs, and on a canvas or without names.
"""
