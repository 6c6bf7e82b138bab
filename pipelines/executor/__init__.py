"""Parts in, their results out, on processes that may die; and a person who watches."""
