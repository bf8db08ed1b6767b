// Package fleetindex finds things by what is known of them: registry, shadows,
// connectivity, violations. It is the index AWS_Things of AWS IoT, an inverted
// index over the documents of package fleet.
//
//	ix, err := fleetindex.Open(ctx, store, &fleetindex.Options{Config: fleetindex.Everything, Feed: feed})
//	go ix.Run(ctx)
//	err = ix.PutThing(ctx, thing)
//	err = ix.PutShadow(ctx, "lamp-7", "", doc)
//	hits, next, err := ix.Search(ctx, `shadow.reported.battery<20`, "", 100)
//
// # What is fast
//
// A term, a phrase, a beginning (lamp*), a number, a range and field:* on a
// field are looked up; of conditions joined by AND the one with the fewest
// documents is, and the others are asked of those documents. Equality in the
// order of names stops when the page is full. What has nothing to look up, as
// NOT alone, * alone and a range without a field, goes through all documents.
//
// # Read your writes
//
// A Put returns when the change is as durable as the store makes it; every
// Search that begins after it sees it. A document and all of its entries
// change in one write of the store, so that they agree at any time and after a
// crash.
//
// Several may tell of one thing at once, each what it has read a moment before:
// Refresh keeps the older from coming last.
//
// What the index is told comes after what it is about was stored. So a crash may
// have lost the telling: an index that was not closed is rebuilt by Run. Therefore
// its store need not wait for the disk.
//
// # Storage
//
// The store is a registry.Store of its own: registry.NewMemStore, or
// registrypebble below a prefix. Keys, of which zero bytes separate the parts:
//
//	d/ thing                     the document's parts, JSON
//	w/ field 0 word 0 thing      a value of the field has the word
//	n/ field 0 number 0 thing    a value of the field is the number: 16 hexadecimal digits that sort as numbers do
//	t/ field 0 text 0 thing      a value of the field is the text, at most its first 256 bytes
//	a/ word 0 thing              a value of a field that is searched by default has the word
//	b/ number 0 thing            the same for numbers
//	s                            set while the index is open
//	c                            Config
package fleetindex
