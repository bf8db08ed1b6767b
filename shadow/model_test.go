package shadow_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowtest"
)

// Random histories of one shadow: documents, metadata, versions and deltas are those of the model, and the laws of delta hold.
func TestAgainstModel(t *testing.T) {
	deltas := 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		now := time.Unix(1_700_000_000, 0)
		svc := open(t, &shadow.Options{Now: func() time.Time { return now }})
		ref, model := shadow.Ref{Thing: "t"}, &shadowtest.Model{}
		for range 25 {
			now = now.Add(time.Duration(rng.IntN(3)) * time.Second)
			before, exists := svc.Get(t.Context(), ref)
			if rng.IntN(12) == 0 {
				c, err := svc.Delete(t.Context(), ref)
				if exists != nil {
					if !errors.Is(err, shadow.ErrNotFound) {
						t.Fatalf("seed %d: deleted what is not there: %v", seed, err)
					}
					continue
				}
				if err == nil {
					err = model.Check(c)
				}
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if rng.IntN(3) == 0 { // the version is forgotten
					now, *model = now.Add(48*time.Hour), shadowtest.Model{}
				}
				continue
			}
			request := `{"state":` + shadowtest.RandomState(rng)
			locked := rng.IntN(4) == 0
			lock := before.Version + int64(rng.IntN(2))
			if locked {
				request += fmt.Sprintf(`,"version":%d`, lock)
			}
			c, err := svc.Update(t.Context(), ref, []byte(request+"}"))
			if conflict := locked && (exists != nil || lock != before.Version); conflict {
				if !errors.Is(err, shadow.ErrVersionConflict) {
					t.Fatalf("seed %d: %s at version %d: %v", seed, request, before.Version, err)
				}
				continue
			}
			if err == nil {
				err = model.Check(c)
			}
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, request, err)
			}
			// What reports the delta has none.
			if c.Delta != nil && rng.IntN(4) == 0 {
				deltas++
				c, err := svc.Update(t.Context(), ref, fmt.Appendf(nil, `{"state":{"reported":%s}}`, c.Delta))
				if err == nil {
					err = model.Check(c)
				}
				if err != nil || c.Delta != nil {
					t.Fatalf("seed %d: the delta was reported, and is %s now, %v", seed, c.Delta, err)
				}
			}
		}
	}
	if deltas < 50 {
		t.Errorf("%d deltas were reported: the test has become blunt", deltas)
	}
}
