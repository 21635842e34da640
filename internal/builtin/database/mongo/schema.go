package mongo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

const (
	maxObjects = 10_000
	maxSampled = 300 // collections of which documents are looked at
	sampleSize = 100 // documents of each
	maxFields  = 300 // of one collection
	maxLevels  = 5   // of documents in documents
	samplers   = 4   // at once
)

// Objects lists collections and views. Their fields are those of a sample.
func (s *Source) Objects(ctx context.Context) ([]engine.Object, error) {
	var objects []engine.Object
	err := s.do(ctx, func(ctx context.Context, db *mongo.Database) error {
		cursor, err := db.ListCollections(ctx, bson.D{})
		if err != nil {
			return err
		}
		defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
		for cursor.Next(ctx) && len(objects) < maxObjects {
			name, _ := cursor.Current.Lookup("name").StringValueOK()
			kind, _ := cursor.Current.Lookup("type").StringValueOK()
			if collection(name) == nil {
				objects = append(objects, engine.Object{Name: name, Kind: cmp.Or(kind, "collection"), Rows: -1})
			}
		}
		return cursor.Err()
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(objects, func(a, b engine.Object) int { return cmp.Compare(a.Name, b.Name) })
	return objects, s.sample(ctx, objects[:min(len(objects), maxSampled)])
}

// sample looks at some collections at once, and returns when all were looked at.
func (s *Source) sample(ctx context.Context, objects []engine.Object) error {
	next := make(chan *engine.Object)
	faults := make([]error, samplers)
	var wg sync.WaitGroup
	for i := range faults {
		wg.Go(func() {
			for o := range next {
				faults[i] = cmp.Or(faults[i], s.look(ctx, o))
			}
		})
	}
	for i := range objects {
		next <- &objects[i]
	}
	close(next)
	wg.Wait()
	return cmp.Or(faults...)
}

// look fills in what there is to say of one collection. One that cannot be read
// has only its name.
func (s *Source) look(ctx context.Context, o *engine.Object) error {
	return s.do(ctx, func(ctx context.Context, db *mongo.Database) error {
		seen := &sampled{fields: map[string]*seenField{}}
		draw := bson.D{{Key: "aggregate", Value: o.Name}, {Key: "pipeline", Value: bson.A{bson.D{{Key: "$sample", Value: bson.D{{Key: "size", Value: sampleSize}}}}}},
			{Key: "cursor", Value: bson.D{}}}
		if err := seen.take(ctx, db, draw); err != nil { // not every server can draw: then the first ones
			seen = &sampled{fields: map[string]*seenField{}}
			first := bson.D{{Key: "find", Value: o.Name}, {Key: "limit", Value: sampleSize}}
			if err := seen.take(ctx, db, first); err != nil {
				return ctx.Err()
			}
		}
		o.Columns = seen.columns()
		if o.Kind == "view" {
			return nil
		}
		if answer, err := db.RunCommand(ctx, bson.D{{Key: "count", Value: o.Name}}).Raw(); err == nil {
			o.Rows, _ = answer.Lookup("n").AsInt64OK()
		}
		o.Indexes, o.Keys = indexes(ctx, db.Collection(o.Name)), []string{"_id"}
		return ctx.Err()
	})
}

func indexes(ctx context.Context, c *mongo.Collection) []string {
	all, err := c.Indexes().ListSpecifications(ctx)
	if err != nil {
		return nil
	}
	texts := make([]string, 0, len(all))
	for _, index := range all {
		unique := ""
		if index.Unique != nil && *index.Unique {
			unique = "unique "
		}
		keys, err := appendDocument(nil, index.KeysDocument)
		if err != nil {
			continue
		}
		texts = append(texts, unique+index.Name+" "+string(keys))
	}
	return texts
}

// sampled is what some documents have.
type sampled struct {
	documents int
	fields    map[string]*seenField
	order     []string
}

type seenField struct {
	documents, last int // in how many it was, and the last of them
	types           map[string]int
}

func (s *sampled) take(ctx context.Context, db *mongo.Database, command bson.D) error {
	cursor, err := db.RunCommandCursor(ctx, command)
	if err != nil {
		return err
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
	for cursor.Next(ctx) && s.documents < sampleSize {
		s.documents++
		s.add("", cursor.Current, 1)
	}
	return cursor.Err()
}

func (s *sampled) add(prefix string, doc bson.Raw, level int) {
	elements, _ := doc.Elements()
	for _, e := range elements {
		if field(e.Key()) == nil {
			s.addField(prefix+e.Key(), e.Value(), level)
		}
	}
}

func (s *sampled) addField(path string, value bson.RawValue, level int) {
	f := s.fields[path]
	if f == nil {
		if len(s.fields) >= maxFields {
			return
		}
		f = &seenField{types: map[string]int{}}
		s.fields[path], s.order = f, append(s.order, path)
	}
	if f.last != s.documents {
		f.last = s.documents
		f.documents++
	}
	f.types[typeOf(value)]++
	if level >= maxLevels {
		return
	}
	if inner, is := value.DocumentOK(); is {
		s.add(path+".", inner, level+1)
	}
	if list, is := value.ArrayOK(); is {
		items, _ := list.Values()
		for _, item := range items[:min(len(items), 20)] {
			if inner, is := item.DocumentOK(); is {
				s.add(path+".", inner, level+1)
			}
		}
	}
}

func typeOf(value bson.RawValue) string {
	list, is := value.ArrayOK()
	if !is {
		return aliasOf(value.Type)
	}
	items, _ := list.Values()
	types := map[string]int{}
	for _, item := range items[:min(len(items), 20)] {
		types[aliasOf(item.Type)]++
	}
	return "array<" + strings.Join(frequent(types), "|") + ">"
}

// aliasOf is the name of a type as $type takes it.
func aliasOf(t bson.Type) string {
	switch t {
	case bson.TypeInt32:
		return "int"
	case bson.TypeInt64:
		return "long"
	case bson.TypeBoolean:
		return "bool"
	case bson.TypeObjectID:
		return "objectId"
	case bson.TypeDateTime:
		return "date"
	case bson.TypeEmbeddedDocument:
		return "object"
	case bson.TypeBinary:
		return "binData"
	case bson.TypeDecimal128:
		return "decimal"
	}
	return t.String()
}

// frequent lists keys, those with the greatest numbers first.
func frequent(types map[string]int) []string {
	return slices.SortedFunc(maps.Keys(types), func(a, b string) int {
		return cmp.Or(cmp.Compare(types[b], types[a]), cmp.Compare(a, b))
	})
}

func (s *sampled) columns() []engine.Field {
	fields := make([]engine.Field, 0, len(s.order))
	for _, path := range s.order {
		f := s.fields[path]
		out := engine.Field{Name: path, Type: strings.Join(frequent(f.types), "|"), Required: f.documents == s.documents}
		if !out.Required {
			out.Comment = fmt.Sprintf("in %d of %d documents", f.documents, s.documents)
		}
		fields = append(fields, out)
	}
	return fields
}
