package sql

// A Node is an expression as written. Pos is the byte offset of its first
// character in the text it was parsed from.
type Node interface{ Pos() int }

type at int

func (a at) Pos() int { return int(a) }

// The nodes. Fields keep what was written; names of functions and types are
// in lower case.
type (
	// NumberLit is an unsigned number, its text untouched.
	NumberLit struct {
		at
		Text string
	}
	// StringLit is a string with its doubled delimiters resolved.
	StringLit struct {
		at
		Value string
	}
	// BoolLit is TRUE or FALSE.
	BoolLit struct {
		at
		Value bool
	}
	// NullLit is NULL.
	NullLit struct{ at }
	// Star is * where a value may stand: the whole payload or element.
	Star struct{ at }
	// Ident is the first name of a path.
	Ident struct {
		at
		Name string
	}
	// VarRef is @name.
	VarRef struct {
		at
		Name string
	}
	// Member is X.Name.
	Member struct {
		at
		X    Node
		Name string
	}
	// Unary is NOT x or -x.
	Unary struct {
		at
		Op string
		X  Node
	}
	// Binary is an operator of two operands: OR AND = <> < <= > >= IN,
	// NOT IN, + - * / %.
	Binary struct {
		at
		Op   string
		L, R Node
	}
	// Call is a function call.
	Call struct {
		at
		Name string
		Args []Node
	}
	// Cast is CAST(x AS type).
	Cast struct {
		at
		X    Node
		Type string
	}
	// Case is CASE x WHEN t THEN r ... ELSE e END; Else may be nil.
	Case struct {
		at
		X    Node
		Arms []Arm
		Else Node
	}
	// ArrayLit is [a, b].
	ArrayLit struct {
		at
		Elems []Node
	}
	// ObjectLit is {'k': v}.
	ObjectLit struct {
		at
		Pairs []Pair
	}
	// Subquery is (SELECT ...).
	Subquery struct {
		at
		Query *Select
	}
	// Exists is EXISTS (SELECT ...).
	Exists struct {
		at
		Query *Select
	}
)

// An Arm is one WHEN t THEN r.
type Arm struct{ When, Then Node }

// A Pair is one member of an object literal.
type Pair struct {
	Key   string
	Value Node
}

// A Select is a query: a whole statement, or one nested in an expression.
type Select struct {
	at
	Set   []Assign // statements only
	Value bool     // SELECT VALUE
	Items []Item

	Filter    string // statements: the topic filter
	HasFilter bool
	FilterPos int

	Source Node   // nested queries: what FROM names
	Alias  string // nested queries: its AS, or empty

	Where Node // or nil
}

// An Assign is one @name = x of a SET clause.
type Assign struct {
	at
	Name string
	X    Node
}

// An Item is one entry of a SELECT list. Alias is empty without AS, and has
// more than one segment for AS a.b.
type Item struct {
	X     Node
	Alias []string
}
