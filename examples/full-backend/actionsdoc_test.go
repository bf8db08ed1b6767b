package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/actions"
)

// docs/aws-actions.md has a row for each action of AWS, in the table where it
// belongs, and names every parameter of those that are offered.
func TestActionsDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "aws-actions.md"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := defaults()
	cfg.Data = t.TempDir()
	b, err := open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()
	catalog, err := b.catalog()
	if err != nil {
		t.Fatal(err)
	}
	offered, notOffered, ok := strings.Cut(string(text), "## Not offered")
	if !ok {
		t.Fatal("the document has no section of what is not offered")
	}
	row := func(table, name string) string {
		for line := range strings.Lines(table) {
			if first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | "); strings.HasPrefix(line, "| `") && strings.Contains(first, "`"+name+"`") {
				return line
			}
		}
		return ""
	}
	for _, name := range strings.Fields(`cloudwatchAlarm cloudwatchLogs cloudwatchMetric dynamoDB dynamoDBv2 elasticsearch firehose http influxDB iotAnalytics
		iotEvents iotSiteWise kafka kinesis lambda location openSearch republish s3 salesforce sns sqs stepFunctions timestream`) {
		spec, err := catalog.Spec(name)
		if err != nil {
			if row(notOffered, name) == "" || row(offered, name) != "" {
				t.Errorf("%s is not offered, which the document does not say", name)
			}
			continue
		}
		line := row(offered, name)
		if line == "" || row(notOffered, name) != "" {
			t.Errorf("%s is offered, which the document does not say", name)
			continue
		}
		params, err := actions.Describe(spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range params {
			if p.Type != "object" && !strings.Contains(line, "`"+p.Path+"`") {
				t.Errorf("the row of %s has nothing of %s", name, p.Path)
			}
		}
	}
	for _, s := range catalog.Specs() {
		if !strings.Contains(offered, "`"+s.Name+"`") {
			t.Errorf("the document has nothing of %s", s.Name)
		}
	}
}
