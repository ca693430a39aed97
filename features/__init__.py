"""What is known of each account at a date: roll-up, windows, features and the catalogue that declares them."""
