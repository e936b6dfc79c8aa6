"""Laws of the winner on finite sets: selection, gate, several drafters, relatives of GSI."""
