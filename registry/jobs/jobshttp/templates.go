package jobshttp

import (
	"errors"
	"iter"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/jobs"
)

func (c *call) templateARN(id string) string { return c.svc.ARN("jobtemplate/" + id) }

func createTemplate(c *call) (any, error) {
	var in struct {
		JobARN         string        `json:"jobArn"`
		DocumentSource string        `json:"documentSource"`
		Document       string        `json:"document"`
		Description    string        `json:"description"`
		Tags           awshttp.Tags  `json:"tags"`
		Windows        []jobs.Window `json:"maintenanceWindows"`
		Packages       []string      `json:"destinationPackageVersions"`
		jobs.Config
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	if len(in.Packages) > 0 {
		return nil, &awshttp.InputError{Field: "destinationPackageVersions", Reason: "are not supported"}
	}
	t, err := c.svc.CreateTemplate(c.Context(), jobs.Template{ID: c.PathValue("jobTemplateId"), Description: in.Description, Document: in.Document,
		DocumentSource: in.DocumentSource, Windows: in.Windows, Tags: in.Tags, Config: in.Config}, in.JobARN)
	if errors.Is(err, jobs.ErrExists) {
		err = taken{err}
	}
	return struct {
		ARN string `json:"jobTemplateArn"`
		ID  string `json:"jobTemplateId"`
	}{c.templateARN(t.ID), t.ID}, err
}

func describeTemplate(c *call) (any, error) {
	t, err := c.svc.Template(c.Context(), c.PathValue("jobTemplateId"))
	return struct {
		ARN         string          `json:"jobTemplateArn"`
		ID          string          `json:"jobTemplateId"`
		Description string          `json:"description"`
		Source      string          `json:"documentSource,omitempty"`
		Document    string          `json:"document"`
		Created     awshttp.Seconds `json:"createdAt"`
		Windows     []jobs.Window   `json:"maintenanceWindows,omitempty"`
		jobs.Config
	}{c.templateARN(t.ID), t.ID, t.Description, t.DocumentSource, t.Document, awshttp.Seconds(t.Created), t.Windows, t.Config}, err
}

func listTemplates(c *call) (any, error) {
	type view struct {
		ARN         string          `json:"jobTemplateArn"`
		ID          string          `json:"jobTemplateId"`
		Description string          `json:"description"`
		Created     awshttp.Seconds `json:"createdAt"`
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[jobs.Template, error] { return c.svc.Templates(c.Context(), after) },
		func(t jobs.Template) string { return t.ID },
		func(t jobs.Template) view {
			return view{c.templateARN(t.ID), t.ID, t.Description, awshttp.Seconds(t.Created)}
		})
	return struct {
		Templates []view `json:"jobTemplates"`
		Token     string `json:"nextToken,omitempty"`
	}{items, token}, err
}

func deleteTemplate(c *call) (any, error) {
	return nil, c.svc.DeleteTemplate(c.Context(), c.PathValue("jobTemplateId"))
}
