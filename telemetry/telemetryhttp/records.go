package telemetryhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

// A record is one of a log. One of Value and Base64 is set.
type record struct {
	Partition int             `json:"partition"`
	Offset    int64           `json:"offset"`
	Key       string          `json:"key"`
	Time      time.Time       `json:"time"`
	Value     json.RawMessage `json:"value,omitempty"`
	Base64    *[]byte         `json:"base64,omitempty"`
}

type recordPage struct {
	Records    []record `json:"records"`
	Partitions int      `json:"partitions"`
	First      int64    `json:"first"`
	Next       int64    `json:"next"`
	End        int64    `json:"end"`
}

// maxPageBytes is about how much a page has, whatever Options.MaxList allows.
const maxPageBytes = 4 << 20

// Records serves the records of a log, page by page.
func Records(l telemetry.Log, opts *Options) http.Handler {
	o := opts.withDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !readOnly(w, r) {
			return
		}
		page, err := records(r, l, o.MaxList)
		if err != nil {
			fail(w, err)
			return
		}
		writeJSON(w, http.StatusOK, page)
	})
}

var errNumber = errors.New("not a number of the range")

func records(r *http.Request, l telemetry.Log, most int) (recordPage, error) {
	number := func(name string, least, most, otherwise int64) (int64, error) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return otherwise, nil
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("%s is %.40q, %w %d to %d", name, text, errNumber, least, most)
		}
		return n, nil
	}
	partition, err1 := number("partition", 0, int64(l.Partitions())-1, 0)
	from, err2 := number("from", 0, 1<<62, 0)
	limit, err3 := number("limit", 1, int64(most), int64(most))
	if err := errors.Join(err1, err2, err3); err != nil {
		return recordPage{}, err
	}
	first, end, err := l.Bounds(r.Context(), int(partition))
	if err != nil {
		return recordPage{}, err
	}
	page := recordPage{Records: []record{}, Partitions: l.Partitions(), First: first, Next: from, End: end}
	for bytes := 0; len(page.Records) < int(limit) && bytes < maxPageBytes; {
		recs, err := l.Read(r.Context(), int(partition), page.Next, int(limit)-len(page.Records))
		if err != nil {
			return recordPage{}, err
		}
		if len(recs) == 0 {
			break
		}
		for _, rec := range recs {
			out := record{Partition: rec.Partition, Offset: rec.Offset, Key: rec.Key, Time: rec.Time.UTC()}
			if json.Valid(rec.Value) {
				out.Value = rec.Value
			} else {
				out.Base64 = &rec.Value
			}
			page.Records = append(page.Records, out)
			page.Next = rec.Offset + 1
			if bytes += len(rec.Value); bytes >= maxPageBytes {
				break
			}
		}
	}
	page.End = max(page.End, page.Next)
	return page, nil
}
