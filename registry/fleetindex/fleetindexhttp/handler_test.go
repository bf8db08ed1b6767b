package fleetindexhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
	"github.com/thingloom/thingloom/registry/fleetindex"
	"github.com/thingloom/thingloom/registry/fleetindex/fleetindexhttp"
)

// everything switches all on, and more.
func everything(more string) string {
	return `{"thingIndexingConfiguration":{"thingIndexingMode":"REGISTRY_AND_SHADOW","thingConnectivityIndexingMode":"STATUS","deviceDefenderIndexingMode":"VIOLATIONS","namedShadowIndexingMode":"ON",` + more + `}}`
}

func TestOperations(t *testing.T) {
	ctx := t.Context()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reg.CreateGroup(ctx, registry.Group{Name: "berlin", Attributes: map[string]string{"zone": "eu"}}, ""); err != nil {
		t.Fatal(err)
	}
	config := fleetindex.Everything
	config.CustomFields = []fleetindex.Field{{Name: "attributes.v", Type: fleetindex.Number}}
	ix, err := fleetindex.Open(ctx, registry.NewMemStore(), &fleetindex.Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		name := fmt.Sprintf("lamp-%d", i)
		if err := ix.PutThing(ctx, registry.Thing{Name: name, Type: "lamp", Version: 1, Attributes: map[string]string{"v": fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ix.PutShadow(ctx, "lamp-1", "", []byte(`{"reported":{"on":true},"version":3}`)); err != nil {
		t.Fatal(err)
	}
	if err := ix.PutConnectivity(ctx, "lamp-1", fleet.Connectivity{Connected: true, Timestamp: 5}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	fleetindexhttp.Mount(mux, ix, reg, &fleetindexhttp.Options{Connection: func(_ context.Context, thing string) (fleetindexhttp.Connection, bool, error) {
		return fleetindexhttp.Connection{ClientID: thing, RemoteAddr: "10.0.0.7:4711", KeepAlive: 30 * time.Second, SessionExpiry: time.Hour}, thing == "lamp-1", nil
	}})
	server := httptest.NewServer(mux)
	defer server.Close()
	token := ""
	for _, step := range []struct {
		method, path, body string
		status             int
		name, want         string // want is a regular expression
	}{
		{"POST", "/indices/search", `{"queryString":"thingName:lamp-1"}`, 200, "", `^{"things":\[{"thingName":"lamp-1","thingTypeName":"lamp","attributes":{"v":"1"},"shadow":"{\\"reported\\":{\\"on\\":true},\\"version\\":3}","connectivity":{"connected":true,"timestamp":5}}\]}$`},
		{"POST", "/indices/search", `{"queryString":"thingTypeName:lamp","maxResults":2}`, 200, "", `"thingName":"lamp-0".*"thingName":"lamp-1".*"nextToken":"(.*)"`},
		{"POST", "/indices/search", `{"queryString":"thingTypeName:lamp","maxResults":2,"nextToken":"TOKEN"}`, 200, "", `"thingName":"lamp-2".*"thingName":"lamp-3".*"nextToken":"(.*)"`},
		{"POST", "/indices/search", `{"queryString":"thingTypeName:lamp","maxResults":2,"nextToken":"TOKEN"}`, 200, "", `^{"things":\[{"thingName":"lamp-4",[^}]*}}\]}$`},
		{"POST", "/indices/search", `{"queryString":"thingTypeName:lamp","maxResults":2,"nextToken":"bGFtcC0x"}`, 400, "InvalidRequestException", "nextToken"},
		{"POST", "/indices/search", `{"queryString":"thingTypeName:lamp","maxResults":2,"nextToken":"?"}`, 400, "InvalidRequestException", "nextToken"},
		{"POST", "/indices/search", `{"queryString":"thingTypeName:lamp","maxResults":2}`, 200, "", `"nextToken":"(.*)"`},
		{"POST", "/indices/search", `{"queryString":"thingTypeName:Lamp","maxResults":2,"nextToken":"TOKEN"}`, 400, "InvalidRequestException", "nextToken"},
		{"POST", "/indices/search", `{"queryString":"thingTypeName:lamp","indexName":"AWS_ThingGroups","nextToken":"TOKEN"}`, 400, "InvalidRequestException", "nextToken"},
		{"POST", "/indices/search", `{"queryString":"*","maxResults":0}`, 400, "InvalidRequestException", "maxResults"},
		{"POST", "/indices/search", `{"queryString":"a:b:c"}`, 400, "InvalidQueryException", "column"},
		{"POST", "/indices/search", `{}`, 400, "InvalidRequestException", "queryString"},
		{"POST", "/indices/search", `{"queryString":"*","indexName":"x"}`, 404, "ResourceNotFoundException", ""},
		{"POST", "/indices/search", `{"queryString":"*","maxResults":501}`, 400, "InvalidRequestException", "maxResults"},
		{"POST", "/indices/search", `{"queryString":"*","queryVersion":"2016"}`, 400, "InvalidQueryException", ""},
		{"POST", "/indices/search", `{"queryString":"attributes.zone:eu","indexName":"AWS_ThingGroups"}`, 200, "", `"thingGroupName":"berlin"`},
		{"POST", "/indices/statistics", `{"queryString":"*","aggregationField":"attributes.v"}`, 200, "", `^{"statistics":{"count":5,"average":2,"sum":10,"minimum":0,"maximum":4,"sumOfSquares":30,"variance":2,"stdDeviation":1.414`},
		{"POST", "/indices/statistics", `{"queryString":"*","aggregationField":"thingName"}`, 200, "", `^{"statistics":{"count":5}}$`},
		{"POST", "/indices/cardinality", `{"queryString":"*","aggregationField":"attributes.v"}`, 200, "", `^{"cardinality":5}$`},
		{"POST", "/indices/percentiles", `{"queryString":"*","aggregationField":"attributes.v","percents":[50]}`, 200, "", `^{"percentiles":\[{"percent":50,"value":2}\]}$`},
		{"POST", "/indices/statistics", `{"queryString":"*","aggregationField":"attributes.w"}`, 400, "InvalidAggregationException", "attributes.w"},
		{"POST", "/indices/statistics", `{"queryString":"thingName:none"}`, 200, "", `^{"statistics":{"count":0,"average":0,"sum":0,`},
		{"POST", "/indices/buckets", `{"queryString":"*","aggregationField":"shadow.hasDelta","bucketsAggregationType":{"termsAggregation":{"maxBuckets":10001}}}`, 400, "InvalidRequestException", "maxBuckets"},
		{"POST", "/indices/percentiles", `{"queryString":"*","aggregationField":"thingName"}`, 200, "", `^{"percentiles":\[\]}$`},
		{"POST", "/indices/percentiles", `{"queryString":"*","percents":[101]}`, 400, "InvalidRequestException", ""},
		{"POST", "/indices/buckets", `{"queryString":"*","aggregationField":"thingTypeName","bucketsAggregationType":{"termsAggregation":{}}}`, 200, "", `^{"totalCount":5,"buckets":\[{"keyValue":"lamp","count":5}\]}$`},
		{"POST", "/indices/buckets", `{"queryString":"*","aggregationField":"thingTypeName"}`, 400, "InvalidRequestException", ""},
		{"POST", "/things/lamp-1/connectivity-data", "", 200, "", `^{"thingName":"lamp-1","connected":true,"timestamp":0.005,"keepAliveDuration":30,"cleanSession":false,"sessionExpiry":3600,"clientId":"lamp-1"}$`},
		{"POST", "/things/lamp-1/connectivity-data", `{"includeSocketInformation":true}`, 200, "", `"sourceIp":"10.0.0.7","sourcePort":4711`},
		{"POST", "/things/lamp-2/connectivity-data", `{}`, 200, "", `^{"thingName":"lamp-2","connected":false}$`},
		{"POST", "/things/none/connectivity-data", `{}`, 404, "ResourceNotFoundException", "none"},
		{"GET", "/indices", "", 200, "", `^{"indexNames":\["AWS_ThingGroups","AWS_Things"\]}$`},
		{"GET", "/indices/AWS_Things", "", 200, "", `^{"indexName":"AWS_Things","indexStatus":"ACTIVE","schema":"MULTI_INDEXING_MODE"}$`},
		{"GET", "/indices/none", "", 404, "ResourceNotFoundException", ""},
		{"GET", "/indexing/config", "", 200, "", `"thingIndexingMode":"REGISTRY_AND_SHADOW","thingConnectivityIndexingMode":"STATUS"`},
		{"GET", "/indexing/config", "", 200, "", `"managedFields":\[.*{"name":"shadow.hasDelta","type":"Boolean"}.*"customFields":\[{"name":"attributes.v","type":"Number"}\]`},
		{"POST", "/indexing/config", everything(`"customFields":[{"name":"thingName","type":"String"}]`), 400, "InvalidRequestException", "thingName"},
		{"POST", "/indexing/config", everything(`"customFields":[{"name":"attributes.a","type":"Text"}]`), 400, "InvalidRequestException", "Text"},
		{"POST", "/indexing/config", everything(`"customFields":[{"name":"attributes.a","type":"String"},{"name":"attributes.a","type":"Number"}]`), 400, "InvalidRequestException", "twice"},
		{"POST", "/indexing/config", everything(`"customFields":[` + strings.Repeat(`{"name":"attributes.a","type":"String"},`, 5) + `{"name":"attributes.a","type":"String"}]`), 400, "InvalidRequestException", "at most 5"},
		{"POST", "/indexing/config", everything(`"filter":{"namedShadowNames":["0","1","2","3","4","5","6","7","8","9","10"]}`), 400, "InvalidRequestException", "at most 10"},
		{"POST", "/indexing/config", everything(`"customFields":[{"name":"shadow.name.cfg.reported.x","type":"String"}]`), 200, "", "^{}$"},
		{"GET", "/indices/AWS_Things", "", 200, "", `"indexStatus":"ACTIVE"`}, // fields need no build
		{"POST", "/indexing/config", everything(`"filter":{"namedShadowNames":["cfg"]}`), 200, "", "^{}$"},
		{"GET", "/indexing/config", "", 200, "", `"filter":{"namedShadowNames":\["cfg"\]}`},
		{"GET", "/indices/AWS_Things", "", 200, "", `"indexStatus":"BUILDING"`},
		{"POST", "/indexing/config", `{"thingIndexingConfiguration":{"thingIndexingMode":"SOME"}}`, 400, "InvalidRequestException", "thingIndexingMode"},
		{"POST", "/indexing/config", `{"thingIndexingConfiguration":{"thingIndexingMode":"OFF","namedShadowIndexingMode":"ON"}}`, 400, "InvalidRequestException", ""},
		{"POST", "/indexing/config", `{"thingIndexingConfiguration":{"thingIndexingMode":"REGISTRY","thingConnectivityIndexingMode":"OFF"}}`, 200, "", "^{}$"},
		{"POST", "/indices/search", `{"queryString":"*"}`, 400, "IndexNotReadyException", ""}, // nobody runs it here
		{"POST", "/things/lamp-1/connectivity-data", "", 400, "IndexNotReadyException", "not indexed"},
		{"POST", "/indexing/config", `{"thingIndexingConfiguration":{"thingIndexingMode":"REGISTRY","thingConnectivityIndexingMode":"STATUS"}}`, 200, "", "^{}$"},
		{"POST", "/things/lamp-1/connectivity-data", "", 400, "IndexNotReadyException", "being built"},
		{"POST", "/indexing/config", `{"thingIndexingConfiguration":{"thingIndexingMode":"OFF"}}`, 200, "", "^{}$"},
		{"POST", "/things/lamp-1/connectivity-data", "", 400, "IndexNotReadyException", "not indexed"},
		{"GET", "/indices", "", 200, "", `^{"indexNames":\["AWS_ThingGroups"\]}$`},
	} {
		r, err := http.NewRequest(step.method, server.URL+step.path, strings.NewReader(strings.Replace(step.body, "TOKEN", token, 1)))
		if err != nil {
			t.Fatal(err)
		}
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(w.Body)
		w.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(step.want).FindStringSubmatch(string(text))
		if w.StatusCode != step.status || w.Header.Get("x-amzn-ErrorType") != step.name || m == nil {
			t.Errorf("%s %s %s: %d %s %s, want %d %s %s", step.method, step.path, step.body, w.StatusCode, w.Header.Get("x-amzn-ErrorType"), text, step.status, step.name, step.want)
		}
		if len(m) > 1 {
			token = m[1]
		}
	}
	if len(fleetindexhttp.Operations()) != 10 {
		t.Errorf("%q", fleetindexhttp.Operations())
	}
}

// A page has at most 100 results, and its token goes on behind them.
func TestPages(t *testing.T) {
	ctx := t.Context()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ix, err := fleetindex.Open(ctx, registry.NewMemStore(), &fleetindex.Options{Config: fleetindex.Everything})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 250 {
		if err := ix.PutThing(ctx, registry.Thing{Name: fmt.Sprintf("t%03d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	fleetindexhttp.Mount(mux, ix, reg, nil)
	for _, asked := range []int{100, 101, 500} {
		var pages []int
		seen, token := map[string]bool{}, ""
		for {
			body := fmt.Sprintf(`{"queryString":"*","maxResults":%d,"nextToken":%q}`, asked, token)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/indices/search", strings.NewReader(body)))
			var out struct {
				Things    []struct{ ThingName string }
				NextToken string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
				t.Fatal(w.Code, w.Body, err)
			}
			for _, thing := range out.Things {
				seen[thing.ThingName] = true
			}
			pages = append(pages, len(out.Things))
			if token = out.NextToken; token == "" {
				break
			}
		}
		if fmt.Sprint(pages) != "[100 100 50]" || len(seen) != 250 {
			t.Errorf("pages of %d: %v, %d things", asked, pages, len(seen))
		}
	}
}
