package mongo

import (
	"encoding/json"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

const (
	maxJSON  = 256 << 10 // bytes of one part of a question
	maxDepth = 90        // of documents in documents; the server takes 100
	maxParts = 1000      // stages of all pipelines of a question together
	advice   = "ask with what only reads; the manual of MongoDB has the operators"
)

// parse reads Extended JSON of either kind, relaxed or canonical. What is judged
// and sent is the BSON that it means, whatever its spelling.
func parse(what string, text json.RawMessage) (any, error) {
	if len(text) > maxJSON {
		return nil, engine.Refuse("send less", "%s is longer than %d bytes", what, maxJSON)
	}
	var holder bson.D
	wrapped := append(append([]byte(`{"v":`), text...), '}')
	if err := bson.UnmarshalExtJSON(wrapped, false, &holder); err != nil || len(holder) != 1 {
		return nil, engine.Refuse(`write it as Extended JSON, such as {"_id": {"$oid": "..."}, "at": {"$gt": {"$date": "2026-01-01T00:00:00Z"}}}`, "%s cannot be read: %v", what, err)
	}
	return holder[0].Value, nil
}

func parseObject(what string, text json.RawMessage) (bson.D, error) {
	if len(text) == 0 {
		return bson.D{}, nil
	}
	value, err := parse(what, text)
	if err != nil {
		return nil, err
	}
	object, is := value.(bson.D)
	if !is {
		return nil, engine.Refuse("write it as {...}", "%s is no object", what)
	}
	return object, nil
}

// verdict judges one question.
type verdict struct {
	stages    int
	operators string // that may stand there
}

// value refuses operators that are not listed, and code, wherever they stand.
func (j *verdict) value(value any, depth int) error {
	if depth > maxDepth {
		return engine.Refuse("say it with less", "documents are nested more than %d deep", maxDepth)
	}
	switch v := value.(type) {
	case bson.D:
		for _, e := range v {
			if strings.HasPrefix(e.Key, "$") && !engine.Listed(j.operators, e.Key) {
				return engine.Refuse(advice, "the operator %s is not among those that are let through here", e.Key)
			}
			if err := j.value(e.Value, depth+1); err != nil {
				return err
			}
		}
	case bson.A:
		for _, item := range v {
			if err := j.value(item, depth+1); err != nil {
				return err
			}
		}
	case bson.JavaScript, bson.CodeWithScope, bson.DBPointer, bson.Symbol:
		return engine.Refuse("leave it out", "code and pointers to other collections are not let through")
	}
	return nil
}

// pipeline judges stages, and those of pipelines within them.
func (j *verdict) pipeline(value any, depth int) error {
	list, is := value.(bson.A)
	if !is {
		return engine.Refuse("write it as [{...}, ...]", "a pipeline is no list of stages")
	}
	for _, item := range list {
		stage, is := item.(bson.D)
		if !is || len(stage) != 1 {
			return engine.Refuse("write each stage as one {$name: ...}", "a stage of the pipeline has not one name")
		}
		if j.stages++; j.stages > maxParts {
			return engine.Refuse("say it with less", "there are more than %d stages", maxParts)
		}
		name := stage[0].Key
		if !engine.Listed(stages, name) {
			return engine.Refuse(advice, "the stage %s does more than read documents", name)
		}
		if err := j.stage(name, stage[0].Value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (j *verdict) stage(name string, value any, depth int) error {
	if name == "$unionWith" {
		if coll, is := value.(string); is {
			return collection(coll)
		}
	}
	fields, is := value.(bson.D)
	if !is {
		return j.value(value, depth)
	}
	for _, f := range fields {
		if err := j.part(name, f, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// part judges one field of a stage: a pipeline, the name of a collection, or an expression.
func (j *verdict) part(stage string, f bson.E, depth int) error {
	if depth > maxDepth {
		return engine.Refuse("say it with less", "documents are nested more than %d deep", maxDepth)
	}
	switch {
	case stage == "$facet", (stage == "$lookup" || stage == "$unionWith") && f.Key == "pipeline":
		return j.pipeline(f.Value, depth)
	case (stage == "$rankFusion" || stage == "$scoreFusion") && f.Key == "input":
		return j.inputs(f.Value, depth)
	case (stage == "$lookup" || stage == "$graphLookup") && f.Key == "from", stage == "$unionWith" && f.Key == "coll":
		name, is := f.Value.(string)
		if !is {
			return engine.Refuse("name a collection of this database", "%s takes its documents from what is no name", stage)
		}
		return collection(name)
	case stage == "$unionWith" && f.Key == "db":
		return engine.Refuse("take a source for each database", "another database is not read")
	}
	return j.value(bson.D{f}, depth)
}

// inputs judges {pipelines: {name: pipeline}}.
func (j *verdict) inputs(value any, depth int) error {
	fields, is := value.(bson.D)
	if !is {
		return j.value(value, depth)
	}
	for _, f := range fields {
		named, is := f.Value.(bson.D)
		if f.Key != "pipelines" || !is {
			if err := j.value(bson.D{f}, depth); err != nil {
				return err
			}
			continue
		}
		for _, one := range named {
			if err := j.pipeline(one.Value, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// collection judges the name of one.
func collection(name string) error {
	if name == "" || len(name) > 255 || strings.ContainsAny(name, "$\x00") || strings.HasPrefix(name, "system.") {
		return engine.Refuse("call schema to see the collections", "%q is no collection that may be read", name)
	}
	return nil
}

// field judges the path of a field.
func field(path string) error {
	for part := range strings.SplitSeq(path, ".") {
		if part == "" || part[0] == '$' || strings.IndexByte(part, 0) >= 0 || len(path) > 1024 {
			return engine.Refuse("call schema with detail columns", "%q is no field", path)
		}
	}
	return nil
}
