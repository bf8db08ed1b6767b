package engine

// A queue is a first-in first-out list of deliveries.
type queue struct {
	items []Delivery
	head  int
}

func (q *queue) len() int { return len(q.items) - q.head }

// first is the delivery that pop will return.
func (q *queue) first() *Delivery { return &q.items[q.head] }

func (q *queue) push(d Delivery) { q.items = append(q.items, d) }

func (q *queue) pop() Delivery {
	d := q.items[q.head]
	q.items[q.head] = Delivery{}
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 64 {
			q.items = nil
		}
	case q.head >= 64 && q.head >= len(q.items)/2:
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return d
}
