package mongo

// stages are those of a pipeline that read the documents before them or those of
// another collection (MongoDB manual, "Aggregation Stages"). $out and $merge
// write; $changeStream never ends; $currentOp, $listSessions, $indexStats and
// their like tell of the server and of others' work.
const stages = `$match $project $addFields $set $unset $group $sort $limit $skip $count $unwind $lookup $graphLookup $unionWith $facet $bucket
 $bucketAuto $sortByCount $replaceRoot $replaceWith $sample $redact $setWindowFields $fill $densify $geoNear $documents $search $searchMeta
 $vectorSearch $rankFusion $scoreFusion`

// operators may stand anywhere else: those of queries, expressions, accumulators
// and projections (MongoDB manual, "Query Predicates", "Expressions"). What runs
// code ($where, $function, $accumulator) is not among them, and neither is any
// stage that writes: a name that is not known is refused wherever it stands.
const operators = `$eq $ne $gt $gte $lt $lte $in $nin $and $or $nor $not $exists $type $expr $jsonSchema $mod $regex $options $text $search $language
 $caseSensitive $diacriticSensitive $geoWithin $geoIntersects $near $nearSphere $geometry $maxDistance $minDistance $box $center $centerSphere $polygon
 $all $elemMatch $size $bitsAllClear $bitsAllSet $bitsAnyClear $bitsAnySet $comment $rand $sampleRate $slice $meta $natural
 $abs $add $ceil $divide $exp $floor $ln $log $log10 $multiply $pow $round $sqrt $subtract $trunc $sin $cos $tan $asin $acos $atan $atan2 $asinh
 $acosh $atanh $sinh $cosh $tanh $degreesToRadians $radiansToDegrees $arrayElemAt $arrayToObject $concatArrays $filter $first $firstN $indexOfArray
 $isArray $last $lastN $map $maxN $minN $objectToArray $range $reduce $reverseArray $sortArray $zip $cmp $cond $ifNull $switch $bitAnd $bitNot
 $bitOr $bitXor $binarySize $bsonSize $convert $toBool $toDate $toDecimal $toDouble $toInt $toLong $toObjectId $toString $toUUID $isNumber
 $dateAdd $dateDiff $dateFromParts $dateFromString $dateSubtract $dateToParts $dateToString $dateTrunc $dayOfMonth $dayOfWeek $dayOfYear $hour
 $isoDayOfWeek $isoWeek $isoWeekYear $millisecond $minute $month $second $week $year $tsIncrement $tsSecond $literal $getField $setField $unsetField
 $mergeObjects $allElementsTrue $anyElementTrue $setDifference $setEquals $setIntersection $setIsSubset $setUnion $concat $indexOfBytes
 $indexOfCP $ltrim $regexFind $regexFindAll $regexMatch $replaceOne $replaceAll $rtrim $split $strLenBytes $strLenCP $strcasecmp $substr $substrBytes
 $substrCP $toLower $toUpper $trim $let $addToSet $avg $bottom $bottomN $count $max $median $min $percentile $push $stdDevPop $stdDevSamp $sum $top
 $topN $covariancePop $covarianceSamp $denseRank $derivative $documentNumber $expMovingAvg $integral $linearFill $locf $minMaxScaler $rank $shift
 $toHashedIndexKey $encStrContains $encStrStartsWith $encStrEndsWith`

// updates are the operators of an update; documents that replace and pipelines
// are refused.
const updates = `$set $unset $inc $mul $min $max $rename $currentDate $push $pull $pullAll $addToSet $pop $bit`

// modifiers may stand within an update.
const modifiers = `$each $position $slice $sort $type $in $nin $eq $ne $gt $gte $lt $lte $and $or $elemMatch $exists $regex $options $all $size $not`

// reading are the actions of a role that only reads (MongoDB manual, "Privilege Actions").
const reading = `find listCollections listIndexes listDatabases collStats dbStats dbHash indexStats planCacheRead changeStream killCursors
 connPoolStats serverStatus listSearchIndexes killAnyCursor inprog top hostInfo getParameter getCmdLineOpts connectionStatus listSessions
 analyze checkMetadataConsistency getShardVersion getDatabaseVersion getDefaultRWConcern listShards netstat replSetGetStatus replSetGetConfig
 checkFreeMonitoringStatus getLog shardingState useUUID validate viewRole viewUser`

// changing are those that a role that writes may have besides.
const changing = `insert update remove`
