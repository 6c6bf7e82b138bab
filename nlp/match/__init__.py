"""Words and phrases in a text: tokens, the trie, windows."""
