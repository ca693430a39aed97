"""An invented vendor: raw tables of accounts that land and expand, and the best possible score of each."""
