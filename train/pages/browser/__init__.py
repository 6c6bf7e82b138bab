"""The report browser and the pages about collections: what they show, as files of the site."""
