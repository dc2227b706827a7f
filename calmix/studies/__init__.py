"""The stories: what is asked, how it is measured, its figures, its sentences and its page, each in one room."""
