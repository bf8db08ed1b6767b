package rules

import (
	"context"
	"iter"
)

// A Store keeps rules. It does not know what a rule means: the [Engine] checks,
// stamps and compiles, and calls Save and Delete one at a time.
//
// Parameters of actions keep their text but for white space; times keep their
// moment. A Store is safe for concurrent use. What goes in and what comes out shares
// no memory with what is stored. A method whose ctx is done before it began
// returns the error of ctx and changes nothing.
type Store interface {
	// Load returns the rule of that name, or ErrNotFound.
	Load(ctx context.Context, name string) (Rule, error)

	// Save keeps r under r.Name in place of what was there. When it returns
	// nil, r survives a crash.
	Save(ctx context.Context, r Rule) error

	// Delete removes the rule of that name, or returns ErrNotFound. When it
	// returns nil, the removal survives a crash.
	Delete(ctx context.Context, name string) error

	// All yields every rule in the order of their names, bytewise. The rules
	// are those of one moment, or of each its own; a rule that was neither
	// saved nor deleted meanwhile is yielded once. An error ends the sequence.
	All(ctx context.Context) iter.Seq2[Rule, error]
}
