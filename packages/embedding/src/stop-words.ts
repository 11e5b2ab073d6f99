/**
 * English words that say how something is asked or joined, not what about. Function words, plus the verbs and
 * adverbs of questions ("how much do I need to …"), which would otherwise make every question alike.
 */
export const STOP_WORDS: ReadonlySet<string> = new Set(
  [
    "a an the this that these those such same other another each every any some all both either neither no not nor",
    "and or but if then else so than as of at by for from in into on onto to with within without upon about",
    "between during before after above below under over again once also only just very too more most less least",
    "i me my mine myself we us our ours you your yours he him his she her hers it its they them their theirs one",
    "who whom whose which what when where why how there here",
    "am is are was were be been being do does did doing done have has had having can could may might must shall",
    "should will would ought cannot don didn doesn isn aren wasn weren won couldn shouldn wouldn ll ve re",
    "much many long often soon far please tell give know find want need get gets got make makes made happen happens",
    "mean means let say says yes ok",
  ].flatMap((line) => line.split(" ")),
);
