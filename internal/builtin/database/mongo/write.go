package mongo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

const (
	onlyOne  = "give insert, or filter with update, or filter with delete: true"
	maxAtOne = 10_000 // documents that one change may have, since their keys are sent
)

// Writer changes documents of one database, with a role and a client of its own.
type Writer struct{ *link }

var _ engine.Writer = (*Writer)(nil)

// OpenWriter returns a writer. Nothing is connected before it is used.
func OpenWriter(o Options) (*Writer, error) {
	l, err := newLink(o)
	if err != nil {
		return nil, err
	}
	return &Writer{l}, nil
}

// Write makes one change. Which documents it would change is looked up first, and
// the change is for those only, so that there are never more than most of them,
// though servers that stand alone cannot undo anything.
func (w *Writer) Write(ctx context.Context, c engine.Change, most int64) (int64, error) {
	if c.SQL != "" || c.Collection == "" {
		return 0, engine.Refuse(onlyOne, "this database has documents, and takes no SQL")
	}
	if err := collection(c.Collection); err != nil {
		return 0, err
	}
	kinds := 0
	for _, one := range []bool{len(c.Insert) > 0, len(c.Update) > 0, c.Delete} {
		if one {
			kinds++
		}
	}
	if kinds != 1 || len(c.Insert) > 0 && len(c.Filter) > 0 || len(c.Insert) == 0 && len(c.Filter) == 0 {
		return 0, engine.Refuse(onlyOne, "it is not said, or said twice, what to change")
	}
	if len(c.Insert) > 0 {
		return w.insert(ctx, c, most)
	}
	return w.change(ctx, c, min(most, maxAtOne))
}

func tooMany(n, most int64) error {
	return engine.Refuse("narrow the condition, or change them in parts",
		"this would change %d documents or more, and at most %d may be changed at once; nothing was changed", n, most)
}

func (w *Writer) insert(ctx context.Context, c engine.Change, most int64) (int64, error) {
	if int64(len(c.Insert)) > most {
		return 0, tooMany(int64(len(c.Insert)), most)
	}
	documents := make([]any, len(c.Insert))
	for i, text := range c.Insert {
		document, err := parseObject("a document of insert", text)
		if err != nil {
			return 0, err
		}
		if err := (&verdict{}).value(document, 0); err != nil {
			return 0, err
		}
		documents[i] = document
	}
	n := 0
	err := w.do(ctx, func(ctx context.Context, db *mongo.Database) error {
		result, err := db.Collection(c.Collection).InsertMany(ctx, documents)
		if result != nil {
			n = len(result.InsertedIDs)
		}
		return failed(err, n)
	})
	if err != nil {
		return 0, err
	}
	return int64(n), nil
}

// failed tells what a change has done before it failed.
func failed(err error, n int) error {
	var bulk mongo.BulkWriteException
	var one mongo.WriteException
	message := ""
	switch {
	case errors.As(err, &bulk) && len(bulk.WriteErrors) > 0:
		message, n = bulk.WriteErrors[0].Message, bulk.WriteErrors[0].Index
	case errors.As(err, &one) && len(one.WriteErrors) > 0:
		message = one.WriteErrors[0].Message
	default:
		return err
	}
	return engine.Refuse("correct what is wrong and send the rest", "%s; %d documents were changed before", message, n)
}

func (w *Writer) change(ctx context.Context, c engine.Change, most int64) (int64, error) {
	filter, update, err := judged(c)
	if err != nil {
		return 0, err
	}
	n := 0
	err = w.do(ctx, func(ctx context.Context, db *mongo.Database) error {
		documents := db.Collection(c.Collection)
		ids, err := keys(ctx, documents, filter, most)
		if err != nil || len(ids) == 0 {
			return err
		}
		those := bson.D{{Key: "$and", Value: bson.A{bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, filter}}}
		if c.Delete {
			result, err := documents.DeleteMany(ctx, those)
			if result != nil {
				n = int(result.DeletedCount)
			}
			return failed(err, n)
		}
		result, err := documents.UpdateMany(ctx, those, update)
		if result != nil {
			n = int(result.ModifiedCount)
		}
		return failed(err, n)
	})
	if err != nil {
		return 0, err
	}
	return int64(n), nil
}

// judged reads the filter and the update of a change.
func judged(c engine.Change) (filter, update bson.D, err error) {
	if filter, err = parseObject("filter", c.Filter); err != nil {
		return nil, nil, err
	}
	if err := (&verdict{operators: operators}).value(filter, 0); err != nil {
		return nil, nil, err
	}
	if c.Delete {
		return filter, nil, nil
	}
	update, err = updated(c.Update)
	return filter, update, err
}

// updated reads an update, which is made of operators only: one that replaces the
// document or that is a pipeline is refused.
func updated(text json.RawMessage) (bson.D, error) {
	update, err := parseObject("update", text)
	if err != nil {
		return nil, err
	}
	if len(update) == 0 {
		return nil, engine.Refuse(`give such as {"$set": {"status": "paid"}}`, "the update is empty")
	}
	for _, e := range update {
		if !engine.Listed(updates, e.Key) {
			return nil, engine.Refuse("take "+strings.Join(strings.Fields(updates), ", "), "an update is made of operators, and %q is not among them", e.Key)
		}
		if err := (&verdict{operators: modifiers}).value(e.Value, 0); err != nil {
			return nil, err
		}
	}
	return update, nil
}

// keys finds the keys of the documents that a filter finds, which are at most most.
func keys(ctx context.Context, c *mongo.Collection, filter bson.D, most int64) (bson.A, error) {
	cursor, err := c.Find(ctx, filter, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).SetLimit(most+1))
	if err != nil {
		return nil, err
	}
	var found []struct {
		ID any `bson:"_id"`
	}
	if err := cursor.All(ctx, &found); err != nil {
		return nil, err
	}
	if int64(len(found)) > most {
		return nil, tooMany(int64(len(found)), most)
	}
	ids := make(bson.A, len(found))
	for i, one := range found {
		ids[i] = one.ID
	}
	return ids, nil
}

// Posture reads the privileges of the role that writes.
func (w *Writer) Posture(ctx context.Context) (engine.Posture, error) {
	return w.posture(ctx, reading+" "+changing, fmt.Sprintf("db.getSiblingDB(%[1]q).createRole({role: \"dragoman_writer\", roles: [], privileges: [{resource: {db: %[1]q, collection: \"\"}, actions: [\"find\", \"insert\", \"update\", \"remove\"]}]})\n"+
		"db.getSiblingDB(%[1]q).createUser({user: \"dragoman_writer\", pwd: passwordPrompt(), roles: [\"dragoman_writer\"]})", w.name))
}
