"""APIs: requests, and readers of their answers; `table.APIS` has an entry for each."""
