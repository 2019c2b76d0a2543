"""The shell of `hadis simulate`: files in, tables, series and figures out."""
