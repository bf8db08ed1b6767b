// Package fleet reads fleet index queries, as AWS IoT fleet indexing has
// them, and decides which things they match: a pure core without store.
//
//	q, err := fleet.Parse(`thingTypeName:Lamp AND shadow.reported.battery<20`)
//	doc := fleet.NewDocument(fleet.Thing{Name: "lamp-7", Type: "Lamp",
//		Shadow: []byte(`{"reported": {"battery": 12}}`)})
//	q.Match(doc) // true
//
// # Language, version 2017-09-30
//
//	query  := or
//	or     := and { "OR" and }
//	and    := unary { [ "AND" ] unary }
//	unary  := ( "NOT" | "-" ) unary | atom
//	atom   := "(" query ")" | field ":" value | field cmp term | value
//	value  := "(" query of values ")" | range | phrase | term
//	range  := ("[" | "{") bound "TO" bound ("]" | "}")
//	cmp    := "<" | "<=" | ">" | ">="
//
// Field names compare with case, values without. Text is split at white
// space: a term matches one whole word, in which '*' stands for any run of
// characters and '?' for one; a phrase in quotes matches words in a row. '*'
// alone matches every document, and field:* those that have the field. A
// query without a field looks in all fields of registry, shadows and
// violations. A backslash takes the next character literally.
//
// # Choices
//
//   - AND binds closer than OR.
//   - Behind a colon a minus belongs to the term: temp:-5 is the number.
//   - A number equals a number of the same value however it is written. An
//     integer beyond 2^53 is a word and no number.
//   - White space is what Java calls so: a space that does not break is part of
//     a word. A term with escaped spaces means the words in a row, as a phrase.
//   - A shadow without delta has that of its desired and reported state.
//   - Bounds in quotes are texts. A range is numeric if all its bounds that
//     are not '*' are numbers; otherwise whole texts are compared.
//   - '~' and '^' (fuzzy search, boosting) are refused unless escaped, and so
//     is a second colon in a term.
package fleet
