/** The document itself among the parts of a Word file. */
export const MAIN_PART = /^word\/document\d*\.xml$/;
