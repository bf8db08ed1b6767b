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
// field are looked up. The entries of one value are in the order of names: of
// equalities, also several of them joined by AND and OR, as many are read as a
// page needs. The names that a range or a beginning finds are collected first;
// beside an equality they are not if they are many, and documents are read
// instead. NOT walks the names of all things, or of what it is joined to by AND,
// and leaves out those that it finds, without reading their documents. What has
// nothing to look up, as a leading wildcard without a field, wildcards in
// the middle behind what they begin with, and a range without a field, is found by
// reading documents.
//
// An aggregation walks the entries of its field, for all things or those that
// the query finds, and reads no documents; where few things match it reads theirs, and
// where only documents tell what matches, it reads what may.
//
// # Read your writes
//
// A Put returns when the change is as durable as the store makes it; every
// Search that begins after it sees it. A document and all of its entries
// change in one write of the store, so that they agree at any time and after a
// crash.
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
//	d/ thing                     Known, in parts
//	g/ thing                     the registry has it
//	t/ field 0 text 0 thing      a value of the field is the text, has it as a word, or is the number that it writes
//	n/ field 0 number 0 thing    a value of the field is the number: 16 hexadecimal digits that sort as numbers do
//	a/ text 0 thing              a value of a field that is searched by default has the word, or is the number
//	s                            set while the index is open
//	c                            Config
//	f                            the version of this format; an index of another one is built anew
//
// The value of t/ and a/ is a byte that says which of these it is, and of what types the values are. Texts are cut after
// 256 bytes: what that finds too much, or with a zero byte, is matched again.
package fleetindex
