"""The page of a study: one HTML file that needs no network, with curves to look at closely and the tables."""
