INSERT INTO "posts" VALUES(1,'Lovely weather today',0);
INSERT INTO "posts" VALUES(2,'I will kill you',1);
INSERT INTO "posts" VALUES(3,'Does anybody sell a bicycle?',0);
