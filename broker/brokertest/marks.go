package brokertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/broker"
)

// wantMarks compares the marks of a saved session.
func (e *env) wantMarks(ctx context.Context, client string, received []uint16, released []uint64) error {
	s, found, err := e.sessionOf(ctx, client)
	if err != nil || !found {
		return fmt.Errorf("session %q: found %v, %w", client, found, errors.Join(errMissing, err))
	}
	if fmt.Sprint(s.Received) != fmt.Sprint(received) || fmt.Sprint(s.Released) != fmt.Sprint(released) {
		return fmt.Errorf("session %q has Received %d and Released %d, want %d and %d", client, s.Received, s.Released, received, released)
	}
	return nil
}

func received(client string, id uint16) broker.Mark {
	return broker.Mark{ClientID: client, Kind: broker.MarkReceived, PacketID: id}
}

func completed(client string, id uint16) broker.Mark {
	return broker.Mark{ClientID: client, Kind: broker.MarkCompleted, PacketID: id}
}

func released(client string, seq uint64) broker.Mark {
	return broker.Mark{ClientID: client, Kind: broker.MarkReleased, Seq: seq}
}

var markCases = []testCase{
	{
		name: "marks/round trip",
		rule: "Sessions gives back what the marks have left, in order, for each client its own; a mark may be set twice, and taken away when it is not there.",
		check: func(ctx context.Context, e *env) error {
			for _, c := range oddClients {
				if err := e.SaveSession(ctx, broker.Session{ClientID: c, Version: 5}); err != nil {
					return err
				}
			}
			for i, c := range oddClients {
				id := uint16(i)
				first, err := e.Enqueue(ctx, []broker.Entry{entry("1", c), entry("2", c)}, received(c, 65535), received(c, id), received(c, 300), received(c, id))
				if err != nil {
					return err
				}
				if _, err := e.Enqueue(ctx, nil, released(c, first+1), released(c, first), completed(c, 300), completed(c, 301)); err != nil {
					return err
				}
				if err := e.wantMarks(ctx, c, []uint16{id, 65535}, []uint64{first, first + 1}); err != nil {
					return err
				}
			}
			return e.wantMarks(ctx, oddClients[0], []uint16{0, 65535}, []uint64{1, 2})
		},
	},
	{
		name: "marks/dequeue",
		rule: "Dequeue takes the marks of the messages it removes, and no others; SaveSession takes none, and DeleteSession all.",
		check: func(ctx context.Context, e *env) error {
			if err := e.SaveSession(ctx, fullSession("c")); err != nil {
				return err
			}
			first, err := e.Enqueue(ctx, []broker.Entry{entry("1", "c"), entry("2", "c", "d"), entry("3", "c")}, received("c", 7))
			if err != nil {
				return err
			}
			_, err = e.Enqueue(ctx, nil, released("c", first), released("c", first+1), released("c", first+2))
			return errors.Join(err,
				e.Dequeue(ctx, "c", first+1),
				e.wantMarks(ctx, "c", []uint16{7}, []uint64{first + 2}),
				e.SaveSession(ctx, broker.Session{ClientID: "c", Version: 4}),
				e.wantMarks(ctx, "c", []uint16{7}, []uint64{first + 2}),
				e.DeleteSession(ctx, "c"),
				e.SaveSession(ctx, broker.Session{ClientID: "c", Version: 4}),
				e.wantMarks(ctx, "c", nil, nil))
		},
	},
	{
		name: "marks/all or nothing",
		rule: "Marks of a call that is refused are not set.",
		check: func(ctx context.Context, e *env) error {
			if err := e.SaveSession(ctx, broker.Session{ClientID: "c", Version: 5}); err != nil {
				return err
			}
			done, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := e.Enqueue(done, nil, received("c", 1), released("c", 1)); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("Enqueue with a context that is done gives %v, want context.Canceled", err)
			}
			return e.wantMarks(ctx, "c", nil, nil)
		},
	},
	{
		name:    "marks/reopen",
		rule:    "Marks are there after a restart, and those that were taken away are not.",
		reopens: true,
		check: func(ctx context.Context, e *env) error {
			if err := e.SaveSession(ctx, broker.Session{ClientID: "c", Version: 5}); err != nil {
				return err
			}
			first, err := e.Enqueue(ctx, []broker.Entry{entry("1", "c"), entry("2", "c")}, received("c", 1), received("c", 2))
			if err != nil {
				return err
			}
			if _, err := e.Enqueue(ctx, nil, completed("c", 1), released("c", first), released("c", first+1)); err != nil {
				return err
			}
			e.reopen()
			if err := e.wantMarks(ctx, "c", []uint16{2}, []uint64{first, first + 1}); err != nil {
				return err
			}
			if err := e.Dequeue(ctx, "c", first); err != nil {
				return err
			}
			return e.wantMarks(ctx, "c", []uint16{2}, []uint64{first + 1})
		},
	},
}
