package mongo

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// batch is how many documents one answer of the server has at most.
const batch = 500

// asked is a judged question: one command of four.
type asked struct {
	name    string // find, aggregate, count or distinct
	command bson.D
	skip    int // documents that are still to be passed over here
}

// ask judges a question and makes the command of it.
func ask(q engine.Query) (asked, error) {
	f := q.Find
	if f == nil {
		return asked{}, engine.Refuse("call find", "this database has documents, and takes no SQL")
	}
	if err := collection(f.Collection); err != nil {
		return asked{}, err
	}
	kinds := 0
	for _, one := range []bool{len(f.Pipeline) > 0, f.Distinct != "", f.Count} {
		if one {
			kinds++
		}
	}
	if kinds > 1 || len(f.Pipeline) > 0 && (len(f.Filter) > 0 || len(f.Projection) > 0 || len(f.Order) > 0) {
		return asked{}, engine.Refuse("put filter, projection and order into stages of the pipeline", "pipeline, distinct and count are asked one at a time, and a pipeline alone")
	}
	if len(f.Pipeline) > 0 {
		return aggregate(q)
	}
	j := &verdict{operators: operators}
	filter, err := parseObject("filter", f.Filter)
	if err != nil {
		return asked{}, err
	}
	if err := j.value(filter, 0); err != nil {
		return asked{}, err
	}
	switch {
	case f.Count:
		return asked{name: "count", command: bson.D{{Key: "count", Value: f.Collection}, {Key: "query", Value: filter}}}, nil
	case f.Distinct != "":
		err := field(f.Distinct)
		return asked{name: "distinct", command: bson.D{{Key: "distinct", Value: f.Collection}, {Key: "key", Value: f.Distinct}, {Key: "query", Value: filter}}, skip: q.Skip}, err
	}
	return find(q, filter)
}

func find(q engine.Query, filter bson.D) (asked, error) {
	projection, err := parseObject("projection", q.Find.Projection)
	if err != nil {
		return asked{}, err
	}
	if err := (&verdict{operators: operators}).value(projection, 0); err != nil {
		return asked{}, err
	}
	order, err := order(q.Find.Order)
	if err != nil {
		return asked{}, err
	}
	command := bson.D{{Key: "find", Value: q.Find.Collection}, {Key: "filter", Value: filter}}
	if len(projection) > 0 {
		command = append(command, bson.E{Key: "projection", Value: projection})
	}
	if len(order) > 0 {
		command = append(command, bson.E{Key: "sort", Value: order})
	}
	return asked{name: "find", command: append(command, bson.E{Key: "skip", Value: int64(q.Skip)}, bson.E{Key: "limit", Value: int64(max(q.Max, 1))},
		bson.E{Key: "batchSize", Value: int32(min(batch, max(q.Max, 1)))}, bson.E{Key: "allowDiskUse", Value: false})}, nil
}

// aggregate adds two stages to a pipeline, which leave its documents as they are
// and save the server those that nobody takes.
func aggregate(q engine.Query) (asked, error) {
	value, err := parse("pipeline", q.Find.Pipeline)
	if err != nil {
		return asked{}, err
	}
	if err := (&verdict{operators: operators}).pipeline(value, 0); err != nil {
		return asked{}, err
	}
	pipeline := value.(bson.A)
	if q.Skip > 0 {
		pipeline = append(pipeline, bson.D{{Key: "$skip", Value: int64(q.Skip)}})
	}
	pipeline = append(pipeline, bson.D{{Key: "$limit", Value: int64(max(q.Max, 1))}})
	return asked{name: "aggregate", command: bson.D{
		{Key: "aggregate", Value: q.Find.Collection}, {Key: "pipeline", Value: pipeline},
		{Key: "cursor", Value: bson.D{{Key: "batchSize", Value: int32(batch)}}}, {Key: "allowDiskUse", Value: false},
	}}, nil
}

func order(fields []string) (bson.D, error) {
	var sort bson.D
	for _, name := range fields {
		name, descending := strings.CutPrefix(name, "-")
		if err := field(name); err != nil {
			return nil, err
		}
		way := int32(1)
		if descending {
			way = -1
		}
		sort = append(sort, bson.E{Key: name, Value: way})
	}
	return sort, nil
}
