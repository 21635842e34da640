package mongo_test

import "github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"

// attacks are questions that did more than read in other servers of this kind. Facts from: mongodb-mcp-server (#525, #545, #1226, #1253, and its
// integration tests of aggregate, explain, export and deleteMany), awslabs/mcp#2862, mcp CVE-2026 of kiliczsh, wanafiq/db-mcp#28, MongoDB's manual.
func attacks() []engine.Find {
	var all []engine.Find
	for _, pipeline := range []string{
		`[{"$out": "out"}]`, `[{"$out": {"db": "other", "coll": "out"}}]`, `[{"$merge": "people"}]`, `[{"$merge": {"into": "people", "whenMatched": "replace"}}]`, `[{"$match": {}}, {"$out": "x"}]`,
		`[{"$documents": [{"a": 1}]}, {"$out": "x"}]`, `[{"$facet": {"a": [{"$out": "x"}]}}]`, `[{"$facet": {"a": [{"$match": {}}], "b": [{"$facet": {"c": [{"$merge": "x"}]}}]}}]`,
		`[{"$lookup": {"from": "big", "pipeline": [{"$out": "x"}], "as": "y"}}]`, `[{"$lookup": {"from": "big", "as": "y", "pipeline": [{"$lookup": {"from": "big", "pipeline": [{"$merge": "x"}], "as": "z"}}]}}]`,
		`[{"$unionWith": {"coll": "big", "pipeline": [{"$merge": "x"}]}}]`, `[{"$unionWith": "system.users"}]`, `[{"$unionWith": {"db": "admin", "coll": "x"}}]`, `[{"$lookup": {"from": {"db": "admin", "coll": "x"}, "as": "y"}}]`,
		`[{"$lookup": {"from": "system.profile", "as": "y"}}]`, `[{"$graphLookup": {"from": "system.views", "as": "y"}}]`, `[{"$rankFusion": {"input": {"pipelines": {"a": [{"$out": "x"}]}}}}]`,
		`[{"$changeStream": {}}]`, `[{"$currentOp": {}}]`, `[{"$listSessions": {}}]`, `[{"$listLocalSessions": {}}]`, `[{"$indexStats": {}}]`, `[{"$planCacheStats": {}}]`, `[{"$collStats": {}}]`, `[{"$listSampledQueries": {}}]`,
		`[{"$querySettings": {}}]`, `[{"$shardedDataDistribution": {}}]`, `[{"$backupCursor": {}}]`, `[{"$_internalInhibitOptimization": {}}]`, `[{"$setVariableFromSubPipeline": {}}]`, `[{"$mutation": {}}]`, `[{"$createIndex": {}}]`,
		`[{"$match": {"$where": "sleep(5000)"}}]`, `[{"$match": {"$expr": {"$function": {"body": "function() {}", "args": [], "lang": "js"}}}}]`, `[{"$project": {"x": {"$function": {"body": "f", "args": [], "lang": "js"}}}}]`,
		`[{"$addFields": {"x": {"$cond": [true, {"$function": {"body": "f", "args": [], "lang": "js"}}, 1]}}}]`, `[{"$group": {"_id": null, "x": {"$accumulator": {"init": "f", "accumulate": "g", "merge": "h", "lang": "js"}}}}]`,
		`[{"$bucket": {"groupBy": "$a", "boundaries": [1, 2], "output": {"x": {"$accumulator": {}}}}}]`, `[{"$setWindowFields": {"output": {"x": {"$accumulator": {}}}}}]`, `[{"$set": {"x": {"$let": {"vars": {"y": {"$function": {}}}, "in": 1}}}}]`,
		`[{"$match": {"x": {"$code": "function() {}"}}}]`, `[{"$match": {"x": {"$code": "f", "$scope": {"a": 1}}}}]`, `[{"$match": {}, "$out": "x"}]`, `[{"match": {}}]`, `[{}]`, `[[]]`, `{"$out": "x"}`, `"$out"`, `[{"\u0024out": "x"}]`,
		`[{"$sort": {"a": 1}}, {"$facet": {"a": {"$out": "x"}}}]`, `[{"$facet": {"$out": "x"}}]`, `[{"$match": {"x": {"$dbPointer": {"$ref": "a", "$id": {"$oid": "57e193d7a9cc81b4027498b5"}}}}}]`, `[{"$match": {"x": {"$symbol": "x"}}}]`,
		`[{"$lookup": {"from": "big", "let": {"x": {"$function": {}}}, "pipeline": [], "as": "y"}}]`, `[{"$out": "x"}, {"$out": "x"}`, `[{"$replaceRoot": {"newRoot": {"$mergeObjects": [{"$function": {}}]}}}]`, `[{"$redact": {"$function": {}}}]`,
	} {
		all = append(all, engine.Find{Collection: "people", Pipeline: raw(pipeline)})
	}
	for _, filter := range []string{
		`{"$where": "function() { return this.age > 8; }"}`, `{"$where": {"$code": "1"}}`, `{"$or": [{"$where": "1"}]}`, `{"$and": [{"a": 1}, {"$nor": [{"$where": "1"}]}]}`, `{"a": {"$not": {"$where": "1"}}}`, `{"a": {"$elemMatch": {"$where": "1"}}}`,
		`{"$expr": {"$function": {"body": "f", "args": [], "lang": "js"}}}`, `{"$expr": {"$gt": ["$a", {"$function": {}}]}}`, `{"a": 1, "$where": "1"}`, `{"a": {"$gt": 1, "$where": "1"}}`, `{"\u0024where": "1"}`, `{"$Where": "1"}`, `{"$where ": "1"}`,
		`{"$eval": "1"}`, `{"$db": "admin"}`, `{"$query": {}, "$explain": true}`, `[{"a": 1}]`, `"x"`, `{"a": 1`, `{"a": NaN}`, `{"a": {"$accumulator": {}}}`, `{"a": 1, "a": {"$where": "1"}}`, `{"x": {"$code": "1"}}`, `null`, `{"$lsid": 1}`, `{"$readPreference": {}}`,
	} {
		all = append(all, engine.Find{Collection: "people", Filter: raw(filter)}, engine.Find{Collection: "people", Filter: raw(filter), Count: true}, engine.Find{Collection: "people", Filter: raw(filter), Distinct: "name"})
	}
	for _, projection := range []string{`{"x": {"$function": {"body": "f", "args": [], "lang": "js"}}}`, `{"x": {"$where": "1"}}`, `{"x": {"$cond": [1, {"$function": {}}, 2]}}`, `"x"`} {
		all = append(all, engine.Find{Collection: "people", Projection: raw(projection)})
	}
	for _, name := range []string{"", "$cmd", "system.users", "system.profile", "system.js", "a\x00b", "people$x", "$cmd.sys.inprog"} {
		all = append(all, engine.Find{Collection: name})
	}
	for _, field := range []string{"$where", "a.$b", ".a", "a.", "$$ROOT", "a\x00"} {
		all = append(all, engine.Find{Collection: "people", Order: []string{field}}, engine.Find{Collection: "people", Distinct: field})
	}
	return all
}

// payloads are of PayloadsAllTheThings, NoSQL Injection (Intruder/MongoDB.txt, Intruder/NoSQL.txt, README.md).
func payloads() []string {
	return []string{
		"true, $where: '1 == 1'", ", $where: '1 == 1'", "$where: '1 == 1'", "', $where: '1 == 1'", "1, $where: '1 == 1'", "{ $ne: 1 }", "', $or: [ {}, { 'a':'a", "' } ], $comment:'successful MongoDB injection'",
		"db.injection.insert({success:1});", "db.injection.insert({success:1});return 1;db.stores.mapReduce(function() { { emit(1,1", "|| 1==1", "' && this.password.match(/.*/)//+%00", "' && this.passwordzz.match(/.*/)//+%00",
		"'%20%26%26%20this.password.match(/.*/)//+%00", "'%20%26%26%20this.passwordzz.match(/.*/)//+%00", "{$gt: ''}", `{"$gt": ""}`, "[$ne]=1", "';sleep(5000);", "';sleep(5000);'", "';sleep(5000);+'",
		"';it=new%20Date();do{pt=new%20Date();}while(pt-it<5000);", "';return 'a'=='a' && ''=='", "\";return(true);var xyz='a", "0;return true", `{"&exists":false}`,
		`{"$gt": 0}`, `{"username": {"$ne": null}, "password": {"$ne": null}}`, `{"username": {"$ne": "foo"}, "password": {"$ne": "bar"}}`, `{"username": {"$gt": undefined}, "password": {"$gt": undefined}}`, `{"username": {"$gt":""}, "password": {"$gt":""}}`,
		`{"username": {"$eq": "admin"}, "password": {"$regex": "^m" }}`, `{"username":{"$in":["Admin", "4dm1n", "admin", "root", "administrator"]},"password":{"$gt":""}}`, `{"id":"10", "id":"100"}`, "username[$ne]=toto&password[$ne]=toto",
		`{"$where": "db.injection.insert({success: 1})"}`, `{"$where": "sleep(5000)"}`, `[{"$out": "injection"}]`, `{"$out": "injection"}`, `{"$merge": "injection"}`,
	}
}
