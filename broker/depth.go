package broker

import "context"

// MaxDepth is how often a message may lead to another by in-process handlers
// that publish. Publishing deeper fails with [ErrTooDeep].
const MaxDepth = 10

type depthKey struct{}

// Depth is how many handlers stand between ctx and the message of a client
// or a fresh in-process publish: 1 in the context of a handler for such a message. It is
// what keeps a rule that feeds itself from going on forever.
func Depth(ctx context.Context) int {
	d, _ := ctx.Value(depthKey{}).(int)
	return d
}

// WithDepth sets the depth for what is published with the returned context.
// A program that hands messages to another goroutine, or stores them to publish later, carries the
// depth along with it.
func WithDepth(ctx context.Context, depth int) context.Context {
	return context.WithValue(ctx, depthKey{}, depth)
}
