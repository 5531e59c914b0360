"""Tables of respondents' answers: what a file holds, what of it is understood, and the personas read from it.

`source` opens a file of any format as a `Table` of text cells; `layout` finds respondents, items and attributes in it;
`values` makes scores of cells; `read` puts them together, and `reading` says what was understood.
"""
